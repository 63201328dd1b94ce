"""The pages that people look at: report.html, plain, and report_interactive.html, with slices and a heart to turn."""

from whs_fast.report.plain import render_report

__all__ = ["render_report"]
