"""lmtool.testing"""
