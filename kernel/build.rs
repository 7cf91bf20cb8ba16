//! Links the program at a fixed address on Linux.
//!
//! A program that can stand anywhere carries a list of all its addresses, 5 MB here, which is read and acted
//! on before the first line: 7 MB of memory in every kernel that waits for its first cell. The libraries,
//! the stack and the heap stand where the system likes, as before.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
