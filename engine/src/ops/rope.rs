//! Rotary position tables, from the inverse frequencies f of half a head (`model/frequencies.rs`).
//!
//! Half-split convention: dimension i turns with dimension i + E/2, by the angle t f_i.

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Result, Tensor};

/// The cosines and sines of `positions` positions for half a head, (T, E/2) each.
#[derive(Debug)]
pub struct RopeTable {
    positions: usize,
    half: usize,
    cos: Vec<f64>,
    sin: Vec<f64>,
    single: OnceLock<(Vec<f32>, Vec<f32>)>,
    #[cfg(feature = "cuda")]
    elsewhere: std::sync::Mutex<Option<(Tensor, Tensor)>>,
}

/// A shared rotary table.
pub type Rope = Arc<RopeTable>;

impl RopeTable {
    /// Makes the table from the inverse frequencies of half a head (E/2).
    pub fn new(inverse_frequencies: &[f64], positions: usize) -> Self {
        let angle = |t: usize| inverse_frequencies.iter().map(move |f| t as f64 * f);
        Self {
            positions,
            half: inverse_frequencies.len(),
            cos: (0..positions).flat_map(angle).map(f64::cos).collect(),
            sin: (0..positions).flat_map(angle).map(f64::sin).collect(),
            single: OnceLock::new(),
            #[cfg(feature = "cuda")]
            elsewhere: std::sync::Mutex::default(),
        }
    }

    /// How many positions it covers.
    pub fn positions(&self) -> usize {
        self.positions
    }

    pub(super) fn f64(&self) -> (&[f64], &[f64]) {
        (&self.cos, &self.sin)
    }

    pub(super) fn f32(&self) -> (&[f32], &[f32]) {
        let round = |x: &[f64]| x.iter().map(|&x| x as f32).collect();
        let (cos, sin) = self.single.get_or_init(|| (round(&self.cos), round(&self.sin)));
        (cos, sin)
    }

    /// All cosines and sines in f32 on a device, kept there for the next call.
    #[cfg(feature = "cuda")]
    pub(super) fn on(&self, device: &Device) -> Result<(Tensor, Tensor)> {
        let mut kept = self.elsewhere.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((cos, sin)) = kept.as_ref().filter(|(cos, _)| cos.device().same_device(device))
        {
            return Ok((cos.clone(), sin.clone()));
        }
        let new = self.tensors(0, self.positions, DType::F32, device)?;
        *kept = Some(new.clone());
        Ok(new)
    }

    /// Gives the cosines and sines of positions `from .. from + n` as tensors (n, E/2).
    ///
    /// # Errors
    /// candle's, if the device refuses the copy.
    pub fn tensors(
        &self,
        from: usize,
        n: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<(Tensor, Tensor)> {
        let part = |x: &[f64]| {
            Tensor::from_slice(
                &x[from * self.half..(from + n) * self.half],
                (n, self.half),
                device,
            )?
            .to_dtype(dtype)
        };
        Ok((part(&self.cos)?, part(&self.sin)?))
    }
}
