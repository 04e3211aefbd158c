"""Course assignments: built from one master, graded in a sandbox.

The command is `relubook`; see the chapter "Teaching with this book". `assignments`
builds what students and graders get, `grader` grades one submission, `batch` many.
Scores are decided by a trusted process that never runs a submission's code: that code
runs in `worker`, inside `sandbox`, and only data cross (`wire`).
"""
