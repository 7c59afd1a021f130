"""Bias: is a system as good for one group as for another?"""
