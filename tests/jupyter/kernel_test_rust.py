"""Jupyter's own test suite for kernels, for Rust cells: every test it has, none skipped.

`../rust_cells.rs` makes the environment and runs this; by hand: python kernel_test_rust.py -v
"""

import unittest

import jupyter_kernel_test


def block(mime, body):
    """A cell that shows something and prints after it, so that it is no value of the cell."""
    return f'println!("EVCXR_BEGIN_CONTENT {mime}\\n{body}\\nEVCXR_END_CONTENT"); println!("after");'


class RustKernelTests(jupyter_kernel_test.KernelTests):
    kernel_name = "woolshed-rust"
    language_name = "rust"
    file_extension = ".rs"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The first cell of a machine prepares the build folder; the suite waits 15 s for a reply.
        cls.kc.execute_interactive("1 + 1", timeout=600, output_hook=lambda message: None)

    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("oops");'

    completion_samples = [
        {"text": "String::from_utf8_l", "matches": {"from_utf8_lossy(v)"}},
        {"text": "lab.targ", "matches": {"target_shape(name)"}},
        {"text": "lab.su", "matches": set()},
        {"text": ":las", "matches": {":last_compile_dir", ":last_error_json"}},
        {"text": "%%rh", "matches": {"%%rhai"}},
    ]

    complete_code_samples = ["1 + 1", "let x = 3;", "fn f() -> i32 { 1 }", "// a remark", ":vars"]
    incomplete_code_samples = ["fn f() {", "let x = [1,", 'let t = "a', "match x {\n    1 =>"]
    invalid_code_samples = ["let x = 3);", "f(1]"]

    code_page_something = "%%rhai\nprune?"
    code_generate_error = 'panic!("no")'
    code_execute_result = [
        {"code": "1 + 2", "result": "3"},
        {"code": "6 * 7", "result": "42"},
        {"code": 'format!("{}", 40 + 2)', "result": '"42"'},
        {"code": "vec![Some(1.5), None]", "result": "[Some(1.5), None]"},
        {"code": "Value::from(options! { a: 1 })", "mime": "text/html"},
        {"code": ":vars", "mime": "text/html"},
        {"code": ":help", "mime": "text/html"},
    ]
    code_display_data = [
        {"code": block("text/html", "<b>1</b>"), "mime": "text/html"},
        {"code": block("text/plain", "one"), "mime": "text/plain"},
        {"code": block("text/markdown", "*one*"), "mime": "text/markdown"},
        {"code": block("text/latex", "$1$"), "mime": "text/latex"},
        {"code": block("image/svg+xml", "<svg/>"), "mime": "image/svg+xml"},
        {"code": block("image/png", "iVBORw0KGgo="), "mime": "image/png"},
        {"code": block("application/json", "[1]"), "mime": "application/json"},
        {"code": 'show([1, 2])?; println!("after");', "mime": "text/plain"},
        {
            "code": 'show(line_chart("g", "x", "y", options! { a: [[1.0, 1.0], [2.0, 4.0]] })?)?; println!();',
            "mime": "image/svg+xml",
        },
        {
            "code": 'show(table("t", vec![options! { a: 1 }])?)?; println!("after");',
            "mime": "text/html",
        },
    ]
    code_history_pattern = "6 ?*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "String::new"
    code_clear_output = "clear_output()?;"

    def test_a_silent_cell_runs_and_is_no_part_of_the_history(self):
        self.flush_channels()
        reply, outputs = self.execute_helper("let silent = 5;", silent=True, store_history=False)
        self.assertEqual((reply["content"]["status"], outputs), ("ok", []))
        reply, outputs = self.execute_helper("silent")
        self.assertEqual(outputs[0]["content"]["data"]["text/plain"], "5")

    def test_comm_info_is_answered(self):
        self.flush_channels()
        asked = self.kc.comm_info()
        reply = self.get_non_kernel_info_reply(timeout=15)
        jupyter_kernel_test.validate_message(reply, "comm_info_reply", asked)


class RustIopubWelcomeTests(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "woolshed-rust"
    support_iopub_welcome = True


if __name__ == "__main__":
    unittest.main()
