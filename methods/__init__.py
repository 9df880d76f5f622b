"""Methods: each file is one method with one class. `experiments new-method` starts one."""
