//! Tests that take the steps of maintenance one by one.

mod compacting;
mod evicting;
mod sweeping;
