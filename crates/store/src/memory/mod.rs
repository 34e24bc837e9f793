//! The memory budget.
//!
//! | file | purpose |
//! |---|---|
//! | `budget` | the budget, and grants of bytes of it |
//! | `reserved` | room kept for one large value |
//! | `resident` | correction of the budget by the resident memory of the process |

pub(crate) mod budget;
pub(crate) mod reserved;
pub(crate) mod resident;
