//! Libraries of the system, opened by their names when they are needed.
//!
//! Nothing is linked: a program that looks for a library starts on a machine that has none.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(of: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Every symbol is looked for at once, so that a damaged library is refused here.
const NOW: c_int = 2;

/// A library, which stays open to the end of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened(*mut c_void);

// SAFETY: the handle is a number for the loader, which locks itself.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

/// Opens the first of some libraries that there is, and gives the name that it was found under.
pub(crate) fn open<'a>(names: &[&'a str]) -> Option<(Opened, &'a str)> {
    names.iter().find_map(|name| {
        let text = CString::new(*name).ok()?;
        // SAFETY: a string that ends in 0. Loading runs the library's own start, which these permit.
        let found = unsafe { dlopen(text.as_ptr(), NOW) };
        (!found.is_null()).then_some((Opened(found), *name))
    })
}

impl Opened {
    /// The address of a function; none where the library does not have it.
    pub fn symbol(self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the library is never closed, and the name ends in 0.
        let found = unsafe { dlsym(self.0, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    }
}

/// The file that a library of this name was loaded from; the name where the system does not say.
pub(crate) fn path(name: &str) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| {
        // The name may be a link to one that says its version in full.
        path.rsplit('/').next().is_some_and(|file| file.starts_with(name.trim_end_matches(".1")))
    });
    path.unwrap_or(name).to_string()
}
