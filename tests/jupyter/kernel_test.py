"""Jupyter's own test suite for kernels, for Rhai: every test it has, none skipped.

`kernel_test.rs` makes the environment and runs this; by hand: python kernel_test.py -v
"""

import unittest

import jupyter_kernel_test


class RhaiKernelTests(jupyter_kernel_test.KernelTests):
    kernel_name = "woolshed"
    language_name = "rhai"
    file_extension = ".rhai"

    code_hello_world = 'print("hello, world")'
    code_stderr = 'debug("oops")'

    completion_samples = [
        {"text": "load_mo", "matches": {"load_model"}},
        {"text": "let x = clear_o", "matches": {"clear_output"}},
        {"text": "%dev", "matches": {"%device"}},
        {"text": "no_such_name", "matches": set()},
    ]

    complete_code_samples = ["1 + 1", "let x = 3;", "fn f() { 1 }", "// a remark", "%who"]
    incomplete_code_samples = ["fn f() {", "let x = [1,", "let t = `a", "%%time\nif true {"]
    invalid_code_samples = ["let = 3;", "1 + ) 2\n3"]

    code_page_something = "prune?"
    code_generate_error = 'throw "no"'
    code_execute_result = [
        {"code": "1 + 2", "result": "3"},
        {"code": "6 * 7", "result": "42"},
        {"code": "`<b>${40 + 2}</b>`", "result": "<b>42</b>"},
        {"code": '#{a: 1}', "mime": "text/html"},
    ]
    code_display_data = [
        {"code": 'show(line_chart("g", "x", "y", #{a: [[1, 1], [2, 4]]}))', "mime": "image/svg+xml"},
        {"code": 'show(table("t", [#{a: 1}]))', "mime": "text/html"},
        {"code": 'show_at("here", 1)', "mime": "text/plain"},
    ]
    code_history_pattern = "6 ?*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "load_model"
    code_clear_output = "clear_output()"


class RhaiIopubWelcomeTests(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "woolshed"
    support_iopub_welcome = True


if __name__ == "__main__":
    unittest.main()
