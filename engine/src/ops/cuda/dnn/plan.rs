//! A graph as the kernels that cuDNN has for it.

use std::ffi::c_void;

use super::graph::{Graph, Operand, Operation, Place, Role};
use super::library::{Descriptor, DnnError, Handle, Library};
use super::numbers::*;
use crate::ops::cuda::calls::At;

/// What a plan is made for.
pub(super) enum Target<'a, 'l> {
    Handle(&'a Handle<'l>),
    /// A described device, for a machine that has none.
    #[cfg(test)]
    Described(&'a Descriptor<'l>),
}

impl Target<'_, '_> {
    /// Names the device to a descriptor: by a handle or by a description.
    fn to(&self, of: &Descriptor<'_>, handle: Option<i32>, described: i32) -> Result<(), DnnError> {
        match (self, handle) {
            (Self::Handle(by), Some(name)) => {
                of.addresses(name, CUDNN_TYPE_HANDLE, &[by.raw()])?;
            }
            (Self::Handle(_), None) => {}
            #[cfg(test)]
            (Self::Described(by), _) if described > 0 => {
                of.others(described, &[*by])?;
            }
            #[cfg(test)]
            (Self::Described(_), _) => {}
        }
        let _ = described;
        Ok(())
    }
}

// Places of a described device; the numbers are from 9.8 on.
const HEURISTICS_DEVICE: i32 = 204;
const PLAN_DEVICE: i32 = 407;
const ENGINE_DEVICE: i32 = 1307;

/// A kernel of cuDNN's by its number, with settings of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Engine {
    number: i64,
    settings: &'static [(i32, i64)],
}

/// The backward kernel of compute capability 9 that adds up dq in a fixed order: its number and settings from
/// 9.25 on, as cuDNN's frontend (1.32) asks for a deterministic pass without a T x T.
pub(super) const ORDERED: Engine = Engine {
    number: 6,
    settings: &[
        (CUDNN_KNOB_TYPE_TILE_M, 2),
        (CUDNN_KNOB_TYPE_TILE_N, 1),
        (CUDNN_KNOB_TYPE_KERNEL_CFG, 2),
        (CUDNN_KNOB_TYPE_STREAM_K, 0),
        (CUDNN_KNOB_TYPE_TILE_CGA_M, 0),
        (CUDNN_KNOB_TYPE_STAGES, 4),
    ],
};
/// The first version that has it.
pub(super) const ORDERED_SINCE: usize = 92_500;

/// Kernels for a graph. The descriptors that they were made of stay with them.
pub(super) struct Plan<'l> {
    // First, so that it goes before what it was made of.
    plan: Descriptor<'l>,
    _made_of: Vec<Descriptor<'l>>,
    graph: Graph,
    library: &'l Library,
    /// Bytes that it wants beside the memory of the graph.
    pub workspace: usize,
}

impl<'l> Plan<'l> {
    /// The first kernel that cuDNN proposes and that it can make, or the one asked for.
    pub fn new(
        library: &'l Library,
        graph: Graph,
        target: &Target<'_, 'l>,
        engine: Option<Engine>,
    ) -> Result<Self, DnnError> {
        let mut made_of = operations(library, &graph)?;
        let whole = Descriptor::new(library, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?;
        target.to(&whole, Some(CUDNN_ATTR_OPERATIONGRAPH_HANDLE), 0)?;
        let ops: Vec<&Descriptor<'_>> =
            made_of[made_of.len() - graph.operations.len()..].iter().collect();
        whole.others(CUDNN_ATTR_OPERATIONGRAPH_OPS, &ops)?;
        whole.finalize("take the graph")?;
        let configs = match engine {
            None => proposed(library, &whole, target)?,
            Some(engine) => vec![chosen(library, &whole, target, engine, &mut made_of)?],
        };
        made_of.push(whole);
        let mut refused = DnnError::NoKernel;
        for config in configs {
            let plan = Descriptor::new(library, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)?;
            target.to(&plan, Some(CUDNN_ATTR_EXECUTION_PLAN_HANDLE), PLAN_DEVICE)?;
            plan.others(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, &[&config])?;
            match plan.finalize("make a kernel") {
                Ok(()) => {
                    let workspace = plan.long(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)?;
                    made_of.push(config);
                    let workspace = workspace.max(0) as usize;
                    return Ok(Self { plan, _made_of: made_of, graph, library, workspace });
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Starts the kernels; `at` gives the memory of each role.
    ///
    /// # Safety
    /// The memory has the sizes of the graph's operands, begins at multiples of 16, and `workspace` has as many
    /// bytes as the plan wants; all live until the kernels have run.
    pub unsafe fn run(
        &self,
        handle: &Handle<'_>,
        at: impl Fn(Role) -> At,
        workspace: At,
    ) -> Result<(), DnnError> {
        let (mut names, mut places) = (Vec::new(), Vec::new());
        for operand in &self.graph.operands {
            let place: *mut c_void = match &operand.place {
                Place::Virtual => continue,
                Place::Memory(role) => at(*role) as *mut c_void,
                Place::Value(x) => std::ptr::from_ref(x).cast_mut().cast(),
            };
            names.push(operand.uid);
            places.push(place);
        }
        let pack = Descriptor::new(self.library, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?;
        pack.longs(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &names)?
            .addresses(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, &places)?
            .addresses(
                CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                CUDNN_TYPE_VOID_PTR,
                &[workspace as *mut c_void],
            )?
            .finalize("take addresses")?;
        // SAFETY: every operand that is not virtual has its address, by the caller's promise.
        unsafe { handle.execute(&self.plan, &pack) }
    }
}

/// What cuDNN proposes, best first.
fn proposed<'l>(
    library: &'l Library,
    whole: &Descriptor<'l>,
    target: &Target<'_, 'l>,
) -> Result<Vec<Descriptor<'l>>, DnnError> {
    let heuristics = Descriptor::new(library, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)?;
    heuristics.others(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, &[whole])?.word(
        CUDNN_ATTR_ENGINEHEUR_MODE,
        CUDNN_TYPE_HEUR_MODE,
        CUDNN_HEUR_MODE_A,
    )?;
    target.to(&heuristics, None, HEURISTICS_DEVICE)?;
    heuristics.finalize("look for kernels")?;
    heuristics.list(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
}

fn chosen<'l>(
    library: &'l Library,
    whole: &Descriptor<'l>,
    target: &Target<'_, 'l>,
    asked: Engine,
    made_of: &mut Vec<Descriptor<'l>>,
) -> Result<Descriptor<'l>, DnnError> {
    let engine = Descriptor::new(library, CUDNN_BACKEND_ENGINE_DESCRIPTOR)?;
    engine
        .others(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, &[whole])?
        .longs(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, &[asked.number])?;
    target.to(&engine, None, ENGINE_DEVICE)?;
    engine.finalize("find a kernel by its number")?;
    let config = Descriptor::new(library, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)?;
    config.others(CUDNN_ATTR_ENGINECFG_ENGINE, &[&engine])?;
    let mut settings = Vec::with_capacity(asked.settings.len());
    for &(name, value) in asked.settings {
        let setting = Descriptor::new(library, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR)?;
        setting
            .word(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, name)?
            .longs(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, &[value])?
            .finalize("take a setting")?;
        settings.push(setting);
    }
    config.others(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, &settings.iter().collect::<Vec<_>>())?;
    config.finalize("take settings")?;
    made_of.push(engine);
    made_of.extend(settings);
    Ok(config)
}

/// Descriptors of a graph's operands and parts, and last those of its operations in their order.
fn operations<'l>(library: &'l Library, graph: &Graph) -> Result<Vec<Descriptor<'l>>, DnnError> {
    let operands: Result<Vec<_>, _> =
        graph.operands.iter().map(|operand| tensor(library, operand)).collect();
    let operands = operands?;
    let (mut parts, mut operations) = (Vec::new(), Vec::new());
    for operation in &graph.operations {
        let (part, whole) = operation_of(library, operation, &operands)?;
        parts.extend(part);
        operations.push(whole);
    }
    Ok(operands.into_iter().chain(parts).chain(operations).collect())
}

fn tensor<'l>(library: &'l Library, of: &Operand) -> Result<Descriptor<'l>, DnnError> {
    let tensor = Descriptor::new(library, CUDNN_BACKEND_TENSOR_DESCRIPTOR)?;
    tensor
        .word(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, of.data)?
        .longs(CUDNN_ATTR_TENSOR_DIMENSIONS, &of.dims)?
        .longs(CUDNN_ATTR_TENSOR_STRIDES, &of.strides)?
        .longs(CUDNN_ATTR_TENSOR_UNIQUE_ID, &[of.uid])?
        .longs(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[16])?;
    match of.place {
        Place::Memory(_) => {}
        Place::Virtual => {
            tensor.flag(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true)?;
        }
        Place::Value(_) => {
            tensor.flag(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true)?;
        }
    }
    tensor.finalize("take a tensor")?;
    Ok(tensor)
}

/// How an operation computes, where it has a descriptor for that, and the operation.
fn operation_of<'l>(
    library: &'l Library,
    operation: &Operation,
    operands: &[Descriptor<'l>],
) -> Result<(Option<Descriptor<'l>>, Descriptor<'l>), DnnError> {
    let part = |kind, precision| -> Result<Descriptor<'l>, DnnError> {
        let part = Descriptor::new(library, kind)?;
        part.word(precision, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)?;
        Ok(part)
    };
    let (part, whole) = match *operation {
        Operation::Pointwise { mode, x, b, t, y, axis } => {
            let of = Descriptor::new(library, CUDNN_BACKEND_POINTWISE_DESCRIPTOR)?;
            let compares = mode == CUDNN_POINTWISE_CMP_GE;
            let precision = if compares { CUDNN_DATA_BOOLEAN } else { CUDNN_DATA_FLOAT };
            of.word(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)?.word(
                CUDNN_ATTR_POINTWISE_MATH_PREC,
                CUDNN_TYPE_DATA_TYPE,
                precision,
            )?;
            if let Some(axis) = axis {
                of.longs(CUDNN_ATTR_POINTWISE_AXIS, &[axis])?;
            }
            of.finalize("take an operation's kind")?;
            let whole = Descriptor::new(library, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)?;
            whole
                .others(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, &[&of])?
                .others(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, &[&operands[x]])?
                .others(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, &[&operands[y]])?;
            if let Some(b) = b {
                whole.others(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, &[&operands[b]])?;
            }
            if let Some(t) = t {
                whole.others(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, &[&operands[t]])?;
            }
            whole
                .float(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, 1.0)?
                .float(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, 1.0)?;
            (Some(of), whole)
        }
        Operation::Matmul { a, b, c } => {
            let of = part(CUDNN_BACKEND_MATMUL_DESCRIPTOR, CUDNN_ATTR_MATMUL_COMP_TYPE)?;
            of.finalize("take a product's kind")?;
            let whole = Descriptor::new(library, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR)?;
            whole
                .others(CUDNN_ATTR_OPERATION_MATMUL_ADESC, &[&operands[a]])?
                .others(CUDNN_ATTR_OPERATION_MATMUL_BDESC, &[&operands[b]])?
                .others(CUDNN_ATTR_OPERATION_MATMUL_CDESC, &[&operands[c]])?
                .others(CUDNN_ATTR_OPERATION_MATMUL_DESC, &[&of])?;
            (Some(of), whole)
        }
        Operation::Reduction { mode, x, y } => {
            let of = part(CUDNN_BACKEND_REDUCTION_DESCRIPTOR, CUDNN_ATTR_REDUCTION_COMP_TYPE)?;
            of.word(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, mode)?
                .flag(CUDNN_ATTR_REDUCTION_IS_DETERMINISTIC, false)?
                .finalize("take a sum's kind")?;
            let whole = Descriptor::new(library, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR)?;
            whole
                .others(CUDNN_ATTR_OPERATION_REDUCTION_DESC, &[&of])?
                .others(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, &[&operands[x]])?
                .others(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, &[&operands[y]])?;
            (Some(of), whole)
        }
        Operation::Reshape { x, y } => {
            let whole = Descriptor::new(library, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR)?;
            whole
                .others(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, &[&operands[x]])?
                .others(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, &[&operands[y]])?;
            (None, whole)
        }
    };
    whole.finalize("take an operation")?;
    Ok((part, whole))
}
