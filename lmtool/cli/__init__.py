"""lmtool.cli"""
