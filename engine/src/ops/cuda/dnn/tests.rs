//! Attention by cuDNN without a GPU: a library that computes on the host (`engine/cuda/emulate/cudnn.cpp`), and the
//! real one where it is there.

use std::ffi::CString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::graph::{self, Operation, Place};
use super::library::{Descriptor, DnnError, Handle, Library, NAMES};
use super::plan::{ORDERED, ORDERED_SINCE, Plan, Target};
use super::{Asked, Dnn, numbers};
use crate::device::library::{open, path};
use crate::ops::cuda::calls::{At, Attended, Heads, Kind, Machine, On};
use crate::ops::cuda::emulated::{self, Host, folder};

type Tell = unsafe extern "C" fn(i32, i64) -> i64;

/// The made-up library, a copy for each test: what it counts and what it is told is the test's own.
struct MadeUp {
    name: String,
    tell: Tell,
    _dir: tempfile::TempDir,
}

fn compiled() -> Option<&'static PathBuf> {
    static COMPILED: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("libcudnn.so");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let built = Command::new(&compiler)
            .args(["-std=c++17", "-O2", "-shared", "-fPIC", "-o"])
            .arg(&path)
            .arg(folder().join("emulate/cudnn.cpp"))
            .output();
        match built {
            Ok(built) => {
                assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
                Some((dir, path))
            }
            Err(error) => {
                eprintln!("NOT CHECKED: attention by cuDNN; `{compiler}` says: {error}");
                None
            }
        }
    });
    compiled.as_ref().map(|(_, path)| path)
}

const VERSION: i32 = 0;
const FAULT: i32 = 1;
const ALIVE: i32 = 2;
const RUNS: i32 = 3;

impl MadeUp {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("libcudnn.so");
        std::fs::copy(compiled()?, &path).expect("a copy");
        let name = path.to_string_lossy().into_owned();
        let (opened, _) = open(&[&name]).expect("the made-up library loads");
        let at = opened.symbol(c"woolshed_cudnn").expect("its own function");
        // SAFETY: the type of that function in cudnn.cpp.
        let tell = unsafe { std::mem::transmute::<*mut std::ffi::c_void, Tell>(at) };
        Some(Self { name, tell, _dir: dir })
    }

    fn tell(&self, what: i32, value: i64) -> i64 {
        // SAFETY: it takes two numbers and gives one.
        unsafe { (self.tell)(what, value) }
    }

    fn open(&self) -> Result<Library, DnnError> {
        Library::open(&[&self.name])
    }
}

const SMALL: Heads = Heads { b: 2, t: 128, h: 2, k: 1, e: 16 };

/// A machine with operands and results of a shape.
struct Bench {
    host: Host,
    s: Heads,
    rooms: Vec<<Host as Machine>::Room>,
}

impl Bench {
    fn new(s: Heads) -> Option<Self> {
        let library = emulated::library()?;
        Some(Self { host: Host { library, backwards: false }, s, rooms: Vec::new() })
    }

    fn room(&mut self, bytes: usize) -> At {
        let (room, at) = self.host.room(bytes).unwrap();
        self.rooms.push(room);
        at
    }

    /// A forward and a backward pass; what cuDNN did, and what was said of it.
    fn pass(
        &mut self,
        made_up: &MadeUp,
        asked: Asked,
    ) -> (candle_core::Result<[bool; 2]>, Vec<String>) {
        let library = made_up.open().unwrap();
        // SAFETY: the made-up library has no streams.
        let handle = unsafe { Handle::new(&library, std::ptr::null_mut()) }.unwrap();
        let mut dnn = Dnn::new(&library, handle, asked);
        let s = self.s;
        let [wide, narrow] = [s.h, s.k].map(|n| 2 * s.b * s.t * n * s.e);
        let of = Attended {
            q: self.room(wide),
            k: self.room(narrow),
            v: self.room(narrow),
            out: self.room(wide),
            lse: self.room(4 * s.b * s.t * s.h),
        };
        let (g, to) = (self.room(wide), [self.room(wide), self.room(narrow), self.room(narrow)]);
        let on = On { machine: &self.host, kind: Kind::Bf16 };
        // SAFETY: rooms of the sizes of the shape.
        let taken = unsafe { dnn.forward(&on, of, s) }
            // SAFETY: as above.
            .and_then(|a| Ok([a, unsafe { dnn.backward(&on, of, g, to, s) }?]));
        (taken, dnn.said())
    }
}

#[test]
fn the_numbers_are_those_of_nvidias_header() {
    let Some(header) = std::env::var_os("WOOLSHED_CUDNN_HEADER") else {
        return eprintln!(
            "NOT CHECKED: cuDNN's numbers; WOOLSHED_CUDNN_HEADER names no cudnn_graph_v9.h"
        );
    };
    let text = std::fs::read_to_string(&header).unwrap();
    for (name, value) in numbers::ALL {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {header:?}"));
        let number = line.split('=').nth(1).unwrap().trim().trim_end_matches(',');
        let number = number.split([',', ' ']).next().unwrap();
        assert_eq!(number.parse(), Ok(*value), "{name}");
    }
}

#[test]
fn a_graph_names_each_memory_once_and_computes_before_it_reads() {
    for graph in [graph::forward(SMALL, 92_801), graph::backward(SMALL, 92_801)] {
        let mut names: Vec<i64> = graph.operands.iter().map(|o| o.uid).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), graph.operands.len());
        let mut known: Vec<bool> =
            graph.operands.iter().map(|o| o.place != Place::Virtual).collect();
        let mut read = vec![false; known.len()];
        for operation in &graph.operations {
            let (from, to) = match *operation {
                Operation::Pointwise { x, b, t, y, .. } => {
                    ([Some(x), b, t].into_iter().flatten().collect::<Vec<_>>(), y)
                }
                Operation::Matmul { a, b, c } => (vec![a, b], c),
                Operation::Reduction { x, y, .. } | Operation::Reshape { x, y } => (vec![x], y),
            };
            for i in from {
                assert!(known[i], "{operation:?} reads what nothing has written");
                read[i] = true;
            }
            known[to] = true;
        }
        for (i, operand) in graph.operands.iter().enumerate() {
            assert!(read[i] || operand.place != Place::Virtual, "nothing reads {operand:?}");
        }
    }
}

#[test]
fn a_library_that_agrees_with_our_kernel_takes_both_passes_and_leaves_nothing_behind() {
    let Some(made_up) = MadeUp::new() else { return };
    for s in [SMALL, Heads { b: 1, t: 128, h: 3, k: 3, e: 40 }] {
        let Some(mut bench) = Bench::new(s) else { return };
        for asked in [Asked::Best, Asked::Dnn] {
            let before = made_up.tell(RUNS, 0);
            let (taken, said) = bench.pass(&made_up, asked);
            assert_eq!(taken.unwrap(), [true, true], "{said:?}");
            // Twice each where the bits are compared, once each where not, then the two of the call.
            let runs = made_up.tell(RUNS, 0) - before;
            assert_eq!(runs, if asked == Asked::Best { 6 } else { 4 });
            assert!(said[0].contains("forward cuDNN 9.28.1; backward cuDNN 9.28.1"), "{said:?}");
            assert_eq!(made_up.tell(ALIVE, 0), 0, "descriptors or a handle are left");
        }
    }
}

#[test]
fn a_library_without_an_ordered_backward_pass_leaves_it_to_ours_unless_it_is_forced() {
    let (Some(made_up), Some(mut bench)) = (MadeUp::new(), Bench::new(SMALL)) else { return };
    made_up.tell(VERSION, 91_600);
    let (taken, said) = bench.pass(&made_up, Asked::Best);
    assert_eq!(taken.unwrap(), [true, false]);
    assert!(said[0].contains("backward our own kernel") && said[0].contains("order"), "{said:?}");
    assert_eq!(bench.pass(&made_up, Asked::Dnn).0.unwrap(), [true, true]);
    assert_eq!(made_up.tell(ALIVE, 0), 0);
}

#[test]
fn a_wrong_result_of_any_kind_is_seen_and_not_used() {
    let (Some(made_up), Some(mut bench)) = (MadeUp::new(), Bench::new(SMALL)) else { return };
    let faults: [(i64, [bool; 2], &str); 9] = [
        (1, [true, false], "gradients of values differ"),
        (2, [false, false], "contexts differ"),
        (3, [false, false], "contexts differ"),
        (4, [false, false], "FAILED"),
        (5, [false, false], "no kernel"),
        (6, [false, false], "not the same bits twice"),
        (7, [true, false], "gradients of keys differ"),
        (8, [false, false], "masses differ"),
        (9, [true, false], "gradients of keys differ"),
    ];
    for (fault, wanted, why) in faults {
        made_up.tell(FAULT, fault);
        let (taken, said) = bench.pass(&made_up, Asked::Best);
        assert_eq!(taken.unwrap(), wanted, "fault {fault}: {said:?}");
        assert!(said[0].contains(why), "fault {fault}: {said:?}");
        assert_eq!(made_up.tell(ALIVE, 0), 0, "fault {fault}");
        if fault != 6 {
            let error = bench.pass(&made_up, Asked::Dnn).0.unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("WOOLSHED_ATTENTION"), "{error}");
        }
    }
}

#[test]
fn heads_and_lengths_that_cudnn_does_not_take_go_to_our_kernel_without_a_word() {
    let Some(made_up) = MadeUp::new() else { return };
    for s in [Heads { t: 100, ..SMALL }, Heads { e: 6, ..SMALL }] {
        let Some(mut bench) = Bench::new(s) else { return };
        let (taken, said) = bench.pass(&made_up, Asked::Dnn);
        assert_eq!((taken.unwrap(), said.len()), ([false, false], 0));
    }
    assert_eq!(made_up.tell(RUNS, 0), 0);
}

#[test]
fn a_library_that_is_absent_too_old_or_no_cudnn_is_refused_with_its_reason() {
    assert_eq!(Library::open(&["libcudnn-that-is-not.so.9"]).unwrap_err(), DnnError::Missing);
    let Some(made_up) = MadeUp::new() else { return };
    for (version, text) in [(90_500, "9.5.0"), (100_000, "10.0.0")] {
        made_up.tell(VERSION, version);
        let error = made_up.open().unwrap_err();
        assert_eq!(error, DnnError::Version(version as usize));
        assert!(error.to_string().contains(text), "{error}");
    }
    let error = Library::open(&["libm.so.6"]).unwrap_err().to_string();
    assert!(error.contains("lacks the function cudnnGetVersion"), "{error}");
}

#[test]
fn a_forced_attention_is_own_or_cudnn() {
    assert_eq!(Asked::of(None), Ok(Asked::Best));
    assert_eq!(Asked::of(Some(" own ")), Ok(Asked::Own));
    assert_eq!(Asked::of(Some("cudnn")), Ok(Asked::Dnn));
    assert!(Asked::of(Some("flash")).unwrap_err().contains("`own` or `cudnn`"));
}

/// A device as cuDNN describes one, with the sizes of an H200; no number of it is read from a device.
fn described(library: &Library) -> Result<Descriptor<'_>, DnnError> {
    const DEVICE: i32 = 38;
    const TEXT: i32 = 2702;
    const CHARS: i32 = 24;
    let text = serde_json::json!({
        "deviceName": "NVIDIA H200", "deviceVer": 900, "driverVer": 13_000, "cudaDeviceId": 0,
        "cudnnVersion": library.version, "schemaVersion": 1, "totalGlobalMem": 150_000_000_000u64,
        "maxGridSize": [2_147_483_647, 65_535, 65_535], "maxBlockSize": [1024, 1024, 64],
        "regsPerBlock": 65_536, "multiProcessorCount": 132, "warpSize": 32, "smCountOrigin": 0,
        "maxSharedMemoryPerBlock": 49_152, "maxSharedMemoryPerBlockOptin": 232_448,
        "oversizedSharedMemoryPerBlock": 0, "reservedSharedMemoryPerBlock": 1024,
        "maxRegistersPerSM": 65_536, "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024,
        "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
        "smClockRateKHz": 1_980_000, "memClockRateKHz": 3_201_000, "memoryBusWidth": 6144,
        "l2CacheSize": 62_914_560
    });
    let device = Descriptor::new(library, DEVICE)?;
    device.text(TEXT, CHARS, &text.to_string())?.finalize("take a device")?;
    Ok(device)
}

/// cuDNN itself makes the kernels that it would run on an H200: it takes our graphs, and knows kernels for
/// them. Without a GPU it wants a driver to look at; `engine/cuda/build.sh cudnn` brings both.
#[test]
fn cudnn_itself_has_kernels_for_our_graphs() {
    if std::env::var_os("WOOLSHED_CUDNN_HEADER").is_none() {
        return eprintln!("NOT CHECKED: cuDNN itself; `engine/cuda/build.sh cudnn` does");
    }
    let library = Library::open(&NAMES).expect("libcudnn.so.9 on LD_LIBRARY_PATH");
    eprintln!("cuDNN {} from {}", super::version(library.version), path(NAMES[0]));
    let device = described(&library).unwrap();
    let target = Target::Described(&device);
    let shapes = [
        Heads { b: 1, t: 4096, h: 32, k: 32, e: 128 },
        Heads { b: 1, t: 4096, h: 16, k: 16, e: 128 },
        Heads { b: 2, t: 256, h: 8, k: 2, e: 64 },
        Heads { b: 1, t: 1024, h: 21, k: 7, e: 80 },
    ];
    for s in shapes {
        let of =
            |graph, engine| Plan::new(&library, graph, &target, engine).map(|plan| plan.workspace);
        let forward = of(graph::forward(s, library.version), None);
        let backward = of(graph::backward(s, library.version), None);
        let ordered = of(graph::backward(s, library.version), Some(ORDERED));
        eprintln!("{s:?}: workspace {forward:?}, {backward:?}, in order {ordered:?}");
        // Without a T x T: some numbers a row, and where heads are shared two bf16 gradients of each query head.
        let most = (64 + 4 * s.e) * s.b * s.t * s.h;
        assert!(forward.unwrap() <= most && backward.unwrap() <= most);
        if library.version >= ORDERED_SINCE {
            assert!(ordered.unwrap() <= most);
        }
    }
    let error = Plan::new(
        &library,
        graph::forward(Heads { b: 1, t: 128, h: 2, k: 2, e: 7 }, library.version),
        &target,
        None,
    );
    let error = error.err().expect("heads 7 wide have no kernel").to_string();
    assert!(!error.is_empty() && CString::new(error).is_ok());
}
