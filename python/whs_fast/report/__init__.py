"""The pages that people look at: report.html, plain, and report_interactive.html, with slices and a heart to turn."""

from whs_fast.report.box import Box, cut_box
from whs_fast.report.interactive import INTERACTIVE_NAME, check_interactive, prepare_scene, render_interactive
from whs_fast.report.plain import render_report

__all__ = [
    "INTERACTIVE_NAME",
    "Box",
    "check_interactive",
    "cut_box",
    "prepare_scene",
    "render_interactive",
    "render_report",
]
