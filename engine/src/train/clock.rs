//! Where the time of a step goes.

/// Seconds of the parts of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clock {
    /// Embeddings and layers, forward.
    pub forward: f64,
    /// Final norm, logits, loss, and the way back to the last layer; the teacher too.
    pub head: f64,
    /// Layers and embeddings, backward. On a device that computes by candle's graph, all three.
    pub backward: f64,
    /// Norms, clipping and updates of weights and gates.
    pub optimiser: f64,
    /// Share of the products with weights that was computed, 1 for everything.
    pub computed: f64,
}

impl Clock {
    /// Adds another step; the shares add up too.
    pub fn add(&mut self, other: &Self) {
        self.forward += other.forward;
        self.head += other.head;
        self.backward += other.backward;
        self.optimiser += other.optimiser;
        self.computed += other.computed;
    }

    /// Seconds of forward, head and backward pass.
    pub fn passes(&self) -> f64 {
        self.forward + self.head + self.backward
    }
}
