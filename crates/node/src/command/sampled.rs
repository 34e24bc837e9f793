//! Offers requests to the sampler: once for each key they name, once it is known which node serves
//! it. See [`crate::sampling`].

use ringbinder_protocol::{Keyed, MAX_KEY_LEN, MetaKey, Storage};

use super::Context;
use crate::net::output::Output;
use crate::sampling::{Class, Timed};

impl Context<'_> {
    /// Offers one key. `served` is the key if this node serves it. `leads` says that it is the
    /// first of its request, and so stands for the request's latency.
    #[inline]
    pub(super) fn offer(&self, class: Class, served: Option<&[u8]>, leads: bool, out: &mut Output) {
        if self.sampler.due() {
            self.take(class, served, leads, out);
        }
    }

    /// Offers a request that names one key.
    #[inline]
    pub(super) fn offer_keyed(&self, keyed: &Keyed<'_>, served: bool, out: &mut Output) {
        if self.sampler.due() {
            let class = match keyed {
                Keyed::Delete(_) => Class::Delete,
                Keyed::Arithmetic(_) => Class::Incr,
                Keyed::Touch(_) => Class::Touch,
                Keyed::MetaGet(_) => Class::MetaGet,
                Keyed::MetaDelete(_) => Class::MetaDelete,
                Keyed::MetaArithmetic(_) => Class::MetaArithmetic,
                Keyed::MetaDebug(_) => Class::Other,
            };
            self.take_word(class, keyed.key(), served, out);
        }
    }

    /// Offers a request with a value.
    #[inline]
    pub(super) fn offer_storage(&self, storage: &Storage<'_>, served: bool, out: &mut Output) {
        if self.sampler.due() {
            let class = match storage {
                Storage::Classic(_) => Class::Set,
                Storage::Meta(_) => Class::MetaSet,
            };
            self.take_word(class, storage.key(), served, out);
        }
    }

    #[cold]
    fn take_word(&self, class: Class, key: MetaKey<'_>, served: bool, out: &mut Output) {
        let mut room = [0; MAX_KEY_LEN];
        self.take(class, served.then(|| key.bytes(&mut room)), true, out);
    }

    #[cold]
    fn take(&self, class: Class, served: Option<&[u8]>, leads: bool, out: &mut Output) {
        if let Some(key) = served {
            let at = if self.read_at == 0 { self.shared.clock.nanos() } else { self.read_at };
            self.sampler.key(key, at);
        }
        if leads && self.read_at != 0 {
            out.timed.push(Timed { class, read_at: self.read_at });
        }
    }
}
