"""lmtool.data"""
