"""The benchmark of a GPU, kept ready for the first machine with one: `nefstudy bench gpu`.

`run.py` calls all parts in order, each case in a new process (`isolated.py`), and writes the files. `checks.py`
compares the fused engine and the classifier with the CPU's, and `measures.py` measures speed, trials and a profile.
`fits.py` has the fits that they share, `rows.py` the sizes and results.
"""
