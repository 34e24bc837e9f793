//! Tests that the documents are true: links, the map of the code, module tables, flags, stats lines, metrics.
//!
//! | file | checks |
//! |---|---|
//! | `links` | links between pages, and their anchors |
//! | `map` | paths and names in docs/architecture.md, module tables, the index of decisions, the glossary |
//! | `reports` | stats lines, metrics and flags of a node against their pages |
//! | `differences` | the tests that docs/protocol.md names for each difference from memcached |
//! | `sizes` | lengths of files, and entries of folders |
//! | `project` | the files of the project, and the parts of a page |

mod differences;
mod links;
mod map;
mod project;
mod reports;
mod sizes;
