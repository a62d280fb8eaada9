"""lmtool.tasks"""
