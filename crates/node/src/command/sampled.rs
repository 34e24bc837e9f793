//! Where requests are offered to the sampler: once for each key they name, when it is known who
//! serves it. See [`crate::sampling`].

use ringbinder_protocol::{MAX_KEY_LEN, Request};

use super::Context;
use crate::output::Output;
use crate::sampling::{Class, Timed};

impl Context<'_> {
    /// Offers one key. `served` is it where this node serves it; `leads` says that it is the first of
    /// its request, and so stands for the request's latency.
    #[inline]
    pub(super) fn offer(&self, class: Class, served: Option<&[u8]>, leads: bool, out: &mut Output) {
        if self.sampler.due() {
            self.take(class, served, leads, out);
        }
    }

    /// Offers a request that names one key or none.
    #[inline]
    pub(super) fn offer_request(&self, request: &Request<'_>, served: bool, out: &mut Output) {
        if self.sampler.due() {
            self.take_request(request, served, out);
        }
    }

    #[cold]
    fn take_request(&self, request: &Request<'_>, served: bool, out: &mut Output) {
        let mut room = [0; MAX_KEY_LEN];
        let (class, key) = match request {
            Request::Store(store) => (Class::Set, Some(store.key)),
            Request::Delete(delete) => (Class::Delete, Some(delete.key)),
            Request::Arithmetic(arithmetic) => (Class::Incr, Some(arithmetic.key)),
            Request::Touch(touch) => (Class::Touch, Some(touch.key)),
            Request::MetaGet(meta) => (Class::MetaGet, Some(meta.key.bytes(&mut room))),
            Request::MetaStore(store) => (Class::MetaSet, Some(store.meta.key.bytes(&mut room))),
            Request::MetaDelete(meta) => (Class::MetaDelete, Some(meta.key.bytes(&mut room))),
            Request::MetaArithmetic(meta) => {
                (Class::MetaArithmetic, Some(meta.key.bytes(&mut room)))
            }
            Request::MetaDebug(key) => (Class::Other, Some(key.bytes(&mut room))),
            _ => (Class::Other, None),
        };
        self.take(class, key.filter(|_| served), true, out);
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
