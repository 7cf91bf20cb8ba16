//! The network by hand: loss, gradients and losses of positions, on the CPU, without a graph.
//!
//! It computes what [`super::forward::Forward`] and candle's backward pass compute, and faster: what a
//! layer leaves for its backward pass is listed, not found; the memory is kept from step to step; the
//! gradient of a weight is added where it is needed, once; Q, K and V are one product, gate and up are
//! one; logits exist for some rows at a time. `tests/elastic.rs` holds the two together.
//!
//! **Elastic.** With `elastic`, a pass runs on what the gates leave alive: the chosen rows and columns of
//! each matrix are copied into a small dense one, and its gradient is added back to theirs. What takes
//! no part has no gradient, and in the pass over everything has the gradient 0. The two are equal but
//! for the order of sums.
//!
//! | file | what it is for |
//! |---|---|
//! | `live.rs` | what takes part |
//! | `net.rs` | tensors and gates laid out for a pass |
//! | `place.rs` | chosen rows and columns, out of a matrix and back |
//! | `copies.rs` | matrices of an elastic pass, copied once |
//! | `space.rs` | memory kept from pass to pass |
//! | `sums.rs` | gradients on their way |
//! | `layer.rs` | a layer, forward and backward |
//! | `groups.rs` | groups of sequences, each by one task |
//! | `ends.rs` | embeddings; norm, head and loss |
//! | `next.rs` | token by token, for generation |

mod copies;
mod ends;
mod groups;
mod layer;
pub(crate) mod live;
mod net;
mod next;
mod place;
mod space;
mod sums;

use std::sync::Mutex;
use std::time::Instant;

use candle_core::{CpuStorage, DType, Layout, Storage, Tensor};

pub(super) use self::next::with_next;

use self::copies::Copies;
use self::ends::Loss;
use self::live::Live;
use self::net::{Gated, Net, Places};
use self::space::{Slot, Space, fit};
pub(crate) use self::sums::Taken;
use self::sums::{GateSums, Sums};
use super::forward::next_tokens;
use super::{LlamaConfig, ModelError, Weights};
use crate::gate::GateValues;
use crate::ops::Rope;
use crate::ops::kernel::{Real, slice};
use crate::progress::{Stop, Watch};
use crate::shape::ModelShape;

/// A network and what goes into it.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    /// Its tensors.
    pub weights: &'a Weights,
    /// Its configuration; widths come from the tensors.
    pub config: &'a LlamaConfig,
    /// Rotary positions, at least `tokens`.
    pub rope: &'a Rope,
    /// Gate values, for gates of the dimensions `source`.
    pub gates: Option<(&'a GateValues, &'a ModelShape)>,
    /// Whether what the gates close is left out.
    pub elastic: bool,
    /// Rows of `tokens` ids.
    pub ids: &'a [u32],
    /// Tokens of a row, T.
    pub tokens: usize,
    /// Who may stop it, within some 50 ms; it then gives [`ModelError::Interrupted`] and no result.
    pub watch: &'a dyn Watch,
}

/// What is asked of a backward pass.
pub(crate) struct Asked<'a> {
    /// Factor on the loss.
    pub share: f64,
    /// A teacher's logits (N, V), the share of the divergence in the loss, the temperature.
    pub taught: Option<(Tensor, f64, f64)>,
    /// Run each layer again in the backward pass, and keep only what goes into it.
    pub recompute: bool,
    /// Which tensors want a gradient, in the order of [`Weights::named`].
    pub wanted: &'a [bool],
    /// Whether the gradient of what takes part of a matrix may stand alone, without the zeros.
    pub alone: bool,
}

/// What a backward pass gives.
pub(crate) struct Given {
    /// Cross-entropy, nats/token.
    pub cross_entropy: f64,
    /// Divergence from the teacher, nats/token; none without one.
    pub divergence: Option<f64>,
    /// By the tensors that want one, times the share, side by side in one buffer, added to what was there.
    pub flat: Flat,
    /// Of which matrices only a part has a gradient, which then stands alone at the beginning of their place.
    pub taken: Vec<Option<Taken>>,
    /// By the gate values, table by table, times the share; empty without gates.
    pub values: Vec<Vec<f64>>,
    /// Share of the products with weights that was computed.
    pub alive: f64,
    /// Seconds of the way up, of the head and of the way down.
    pub seconds: [f64; 3],
}

/// Gradients of tensors, side by side.
#[derive(Debug)]
pub(crate) enum Flat {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Flat {
    /// The buffer as a tensor (elements).
    ///
    /// # Errors
    /// candle's.
    pub fn tensor(self) -> candle_core::Result<Tensor> {
        let device = &candle_core::Device::Cpu;
        match self {
            Self::Single(data) => {
                let n = data.len();
                Tensor::from_vec(data, n, device)
            }
            Self::Double(data) => {
                let n = data.len();
                Tensor::from_vec(data, n, device)
            }
        }
    }
}

/// Memory for passes, kept from one to the next. A clone is empty: it belongs to another branch.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Spaces>);

#[derive(Debug, Default)]
struct Spaces {
    single: Space<f32>,
    double: Space<f64>,
}

impl Memory {
    /// Takes back a buffer of gradients that nobody needs any more.
    pub fn keep(&self, flat: Flat) {
        let mut spaces = self.0.lock().unwrap_or_else(|e| e.into_inner());
        match flat {
            Flat::Single(data) => spaces.single.flat = data,
            Flat::Double(data) => spaces.double.flat = data,
        }
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Whether a pass can run here: on the CPU, in f32 or f64.
pub(crate) fn can(weights: &Weights) -> bool {
    weights.embed.device().is_cpu() && matches!(weights.embed.dtype(), DType::F32 | DType::F64)
}

/// An element type that has memory of its own.
trait Typed: Real {
    fn space(spaces: &mut Spaces) -> &mut Space<Self>;
    /// The buffer of gradients, if it is of this type.
    fn taken(flat: Flat) -> Option<Vec<Self>>;
    fn flat(data: Vec<Self>) -> Flat;
}

impl Typed for f32 {
    fn space(spaces: &mut Spaces) -> &mut Space<f32> {
        &mut spaces.single
    }
    fn taken(flat: Flat) -> Option<Vec<f32>> {
        if let Flat::Single(data) = flat { Some(data) } else { None }
    }
    fn flat(data: Vec<f32>) -> Flat {
        Flat::Single(data)
    }
}

impl Typed for f64 {
    fn space(spaces: &mut Spaces) -> &mut Space<f64> {
        &mut spaces.double
    }
    fn taken(flat: Flat) -> Option<Vec<f64>> {
        if let Flat::Double(data) = flat { Some(data) } else { None }
    }
    fn flat(data: Vec<f64>) -> Flat {
        Flat::Double(data)
    }
}

impl Pass<'_> {
    /// Loss and gradients; those of tensors are added to `onto`, if there is one.
    ///
    /// # Errors
    /// An id beyond the vocabulary; an interrupt; candle's.
    pub fn gradients(
        &self,
        asked: &Asked<'_>,
        onto: Option<Flat>,
        memory: &Memory,
    ) -> Result<Given, ModelError> {
        // All of it inside the pool: to go in and out for every kernel takes longer than some do.
        rayon::scope(|_| match self.weights.embed.dtype() {
            DType::F64 => self.gradients_in::<f64>(asked, onto, memory),
            _ => self.gradients_in::<f32>(asked, onto, memory),
        })
    }

    /// The loss of every position that counts, in their order, in nats.
    ///
    /// # Errors
    /// As [`Pass::gradients`].
    pub fn losses(&self, memory: &Memory) -> Result<Vec<f64>, ModelError> {
        rayon::scope(|_| match self.weights.embed.dtype() {
            DType::F64 => self.losses_in::<f64>(memory),
            _ => self.losses_in::<f32>(memory),
        })
    }

    fn gradients_in<T: Typed>(
        &self,
        asked: &Asked<'_>,
        onto: Option<Flat>,
        memory: &Memory,
    ) -> Result<Given, ModelError> {
        let taught = match &asked.taught {
            Some((t, weight, temperature)) => {
                Some((t.to_dtype(T::DTYPE)?.contiguous()?, *weight, *temperature))
            }
            None => None,
        };
        self.read::<T, _>(memory, |net, space| {
            let mut offsets = Vec::with_capacity(asked.wanted.len());
            let mut total = 0;
            for (w, &wanted) in net.w.iter().zip(asked.wanted) {
                offsets.push(wanted.then_some(total));
                total += if wanted { w.len() } else { 0 };
            }
            let onto = onto.and_then(T::taken);
            let fresh = vec![onto.is_none(); net.w.len()];
            let mut flat = onto.unwrap_or_else(|| {
                let mut flat = std::mem::take(&mut space.flat);
                fit(&mut flat, total);
                flat.truncate(total);
                flat
            });
            let source = self.gates.map(|g| g.1);
            let gates = source.map_or_else(GateSums::default, |source| {
                GateSums::new(self.gates.map(|g| g.0), source)
            });
            let mut sums = Sums {
                flat: &mut flat,
                offsets: &offsets,
                fresh,
                alone: asked.alone,
                taken: vec![None; net.w.len()],
                gates,
                stop: net.stop,
            };
            let targets = next_tokens(self.ids, self.tokens);
            let layers = net.live.layers.len();
            let begin = Instant::now();
            net.forward(self.ids, space, asked.recompute)?;
            let up = begin.elapsed().as_secs_f64();
            let len = net.n * net.d();
            let Space { streams, slots, temps, .. } = space;
            let guard;
            let taught = match &taught {
                Some((t, weight, temperature)) => {
                    guard = t.storage_and_layout();
                    Some((cpu::<T>(&guard.0, guard.1)?, *weight, *temperature))
                }
                None => None,
            };
            let top = &streams[layers][..len];
            let loss = net.top(top, &targets, asked.share, taught, temps, &mut sums);
            let head = begin.elapsed().as_secs_f64() - up;
            for l in (0..layers).rev() {
                net.goes_on()?;
                let (below, above) = streams.split_at_mut(l + 1);
                let x = &below[l][..len];
                let slot = if asked.recompute { &mut slots[0] } else { &mut slots[l] };
                if asked.recompute && l + 1 < layers {
                    net.layer(l, x, slot, &mut above[0][..len], temps);
                }
                net.layer_back(l, x, slot, temps, &mut sums);
            }
            net.goes_on()?;
            net.embed_back(self.ids, &temps.dx[..len], &mut sums);
            sums.finish(net.w.iter().map(|w| w.len()));
            let down = begin.elapsed().as_secs_f64() - up - head;
            let values = std::mem::take(&mut sums.gates.values);
            let taken = std::mem::take(&mut sums.taken);
            let flat = T::flat(flat);
            let Loss { cross_entropy, divergence } = loss;
            let (alive, seconds) = (net.alive(), [up, head, down]);
            Ok(Given { cross_entropy, divergence, flat, taken, values, alive, seconds })
        })
    }

    fn losses_in<T: Typed>(&self, memory: &Memory) -> Result<Vec<f64>, ModelError> {
        self.read::<T, _>(memory, |net, space| {
            let len = net.n * net.d();
            let Space { streams, slots, temps, .. } = space;
            streams.resize_with(streams.len().max(2), Vec::new);
            slots.resize_with(slots.len().max(1), Slot::default);
            net.embed(self.ids, fit(&mut streams[0], len));
            for l in 0..net.live.layers.len() {
                net.goes_on()?;
                let (below, above) = streams.split_at_mut(1);
                let out = fit(&mut above[0], len);
                net.layer(l, &below[0][..len], &mut slots[0], out, temps);
                streams.swap(0, 1);
            }
            let top = &streams[0][..len];
            let losses = net.losses(top, &next_tokens(self.ids, self.tokens), temps);
            net.goes_on().map(|()| losses)
        })
    }

    /// Lays the network out and runs `f` on it.
    fn read<T: Typed, R>(
        &self,
        memory: &Memory,
        f: impl FnOnce(&Net<'_, T>, &mut Space<T>) -> Result<R, ModelError>,
    ) -> Result<R, ModelError> {
        let vocab = self.weights.embed.dim(0)?;
        if let Some(&id) = self.ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        let named = self.weights.named();
        let whole: Vec<Tensor> =
            named.iter().map(|(_, t)| t.contiguous()).collect::<Result<_, _>>()?;
        let guards: Vec<_> = whole.iter().map(Tensor::storage_and_layout).collect();
        let w = guards
            .iter()
            .map(|(storage, layout)| cpu::<T>(storage, layout))
            .collect::<Result<Vec<_>, _>>()?;
        let everything = Live::everything(self.weights, self.config.head_dim);
        let (live, gates) = match self.gates {
            Some((z, source)) => {
                let live = match self.elastic {
                    true => Live::under(self.weights, source, z),
                    false => everything,
                };
                let gates = Gated::of(z, source, &live);
                (live, gates)
            }
            None => (everything.clone(), Gated::none(everything.layers.len())),
        };
        let stop = Stop::by(self.watch);
        let mut net = Net {
            copies: Copies::default(),
            stop: &stop,
            w,
            at: Places::of(self.weights),
            live,
            gates,
            rope: self.rope,
            eps: self.config.rms_norm_eps,
            e: self.config.head_dim,
            tokens: self.tokens,
            n: self.ids.len(),
            full: self.weights.embed.dim(1)?,
        };
        let mut spaces = memory.0.lock().unwrap_or_else(|e| e.into_inner());
        let space = T::space(&mut spaces);
        net.copies = net.copies(std::mem::take(&mut space.copies));
        let of = f(&net, space);
        space.copies = net.copies.all;
        of
    }
}

/// The elements of a contiguous CPU tensor.
fn cpu<'a, T: Real>(storage: &'a Storage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    let cpu: &CpuStorage = match storage {
        Storage::Cpu(cpu) => cpu,
        _ => return Err(candle_core::Error::Msg("a pass on the CPU got another device".into())),
    };
    slice(cpu, layout)
}
