"""Many scans through warm engines, on one machine or a cluster of Dask: a folder in, a table out.

    gather        inputs to scans with ids                        .inputs
    do            one scan by a worker's engine                   .working
    run_tasks     which worker does which scan, and when          .scheduling
    records       what is done, a file a scan: the way to resume  .records
    table, page   all rows as Parquet, CSV and a page             .table, .page

Dask is imported by `scheduling` alone, when a batch begins. Everything that must outlive a killed worker, scheduler or
machine is in files; Dask only hands out the work.
"""
