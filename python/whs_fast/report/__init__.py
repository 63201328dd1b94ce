"""What people look at: the picture, report.html, and report_interactive.html with slices and a heart to turn."""
