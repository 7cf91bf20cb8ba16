//! With the feature `cuda`: where the linker finds what stands in for CUDA's libraries.
//!
//! `cuda/build.sh` makes the folder and names it in `WOOLSHED_CUDA_LINK`; without the name the program is
//! linked with the CUDA of the machine, and starts where that is installed.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WOOLSHED_CUDA_LINK");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Ok(folder) = std::env::var("WOOLSHED_CUDA_LINK")
    {
        println!("cargo:rustc-link-search=native={folder}");
    }
}
