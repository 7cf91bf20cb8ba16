//! Large pages, off while there is nothing large.
//!
//! The allocator asks the system for pages of 2 MiB. They make training faster and a kernel that waits
//! for its first cell 9 MB bigger: each thread touches a little of its own page. So the process starts
//! with small ones and takes the large ones from its first model on. Elsewhere than on Linux nothing
//! happens.

/// Takes small pages before anything is allocated: the list that it stands in is run through before
/// `main`, and numbered entries come before those of libraries without a number.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array.00099")]
static AT_START: extern "C" fn() = {
    extern "C" fn small() {
        disable_large(true);
    }
    small
};

/// Takes what the allocator asks for from now on.
pub fn usual() {
    #[cfg(target_os = "linux")]
    disable_large(false);
}

#[cfg(target_os = "linux")]
fn disable_large(disable: bool) {
    use std::ffi::{c_int, c_ulong};

    /// `PR_SET_THP_DISABLE` of `linux/prctl.h`.
    const SET_THP_DISABLE: c_int = 41;

    unsafe extern "C" {
        fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int;
    }

    // SAFETY: this option reads its integer arguments and changes a flag of the process; it touches no
    // memory of ours. A system that does not know it returns an error, and then pages stay as they are.
    let _ = unsafe { prctl(SET_THP_DISABLE, c_ulong::from(disable), 0, 0, 0) };
}
