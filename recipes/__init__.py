"""Recipes that build data sets for imagegen; not part of the installed package."""
