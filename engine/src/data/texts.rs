//! Domains from texts in memory: what a script has made or a model has written.

use super::domains::{Domain, DomainOptions, Domains};
use super::pack::{Packer, Special};
use super::{DataError, DataOrigin};
use crate::model::Tokenizer;

impl Domains {
    /// Packs the texts of each domain, in the given order; a text is one document.
    ///
    /// # Errors
    /// A bad option, a text the tokenizer refuses, too few tokens for two rows.
    pub fn from_texts(
        texts: &[(String, Vec<String>)],
        tokenizer: &Tokenizer,
        special: Special,
        options: &DomainOptions,
    ) -> Result<Self, DataError> {
        options.check()?;
        special.check()?;
        let mut domains = Vec::with_capacity(texts.len());
        for (name, documents) in texts {
            let mut packer = Packer::new(special, options.max_tokens);
            let encoded = tokenizer.encode_batch(documents).map_err(|source| {
                DataError::Tokenizer { domain: name.clone(), source: Box::new(source) }
            })?;
            encoded.iter().for_each(|ids| packer.push(ids));
            let used = packer.documents();
            let (train, eval) = packer.split(name, options)?;
            domains.push(Domain {
                name: name.clone(),
                train,
                eval,
                floor: None,
                documents: used,
                bytes: documents.iter().take(used).map(|d| d.len() as u64).sum(),
                files: Vec::new(),
            });
        }
        let origin = DataOrigin::Texts { texts: texts.to_vec(), options: options.clone() };
        Ok(Self::new(options.seq_len, domains, origin))
    }
}
