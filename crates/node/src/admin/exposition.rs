//! Metrics in the formats that Prometheus reads: its own text format, or OpenMetrics on request.
//!
//! Both are written from the same calls, so a value cannot differ between them. They differ in how
//! a counter is declared: by its full name in Prometheus's format, and without `_total` in
//! OpenMetrics, which has no counter without that ending and no gauge named `..._info`.
//!
//! Every value is already counted elsewhere, so there is no registry of metrics here: a library for
//! that would hold copies, and the one for Rust writes OpenMetrics only.

use std::fmt::{Display, Write};

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Version 0.0.4 of Prometheus's text format.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Form {
    /// The format that an `Accept` header asks for. Without the header it is the older one.
    pub(super) fn accepted(accept: &str) -> Form {
        let mut open_metrics = 0.0;
        let mut plain = 0.0;
        for part in accept.split(',') {
            let mut words = part.split(';').map(str::trim);
            let media = words.next().unwrap_or_default();
            let quality = words.find_map(|word| word.strip_prefix("q="));
            let quality = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0_f32));
            match media {
                "application/openmetrics-text" => open_metrics = quality.max(open_metrics),
                "text/plain" => plain = quality.max(plain),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain {
            Form::OpenMetrics
        } else {
            Form::Prometheus
        }
    }

    /// The content type of the answer.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The kind of a family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, except for resets.
    Counter,
    /// May go up and down.
    Gauge,
    /// Cumulative counts by upper bound.
    Histogram,
    /// Always 1: the labels are the information. Its name ends in `_info`.
    Info,
}

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page of metrics while it is written.
#[derive(Debug)]
pub(super) struct Exposition {
    form: Form,
    text: String,
}

impl Exposition {
    pub(super) fn new(form: Form) -> Exposition {
        Exposition { form, text: String::with_capacity(16 * 1024) }
    }

    /// Finishes the page.
    pub(super) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// Begins a family. Its samples must follow before the next one begins.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (name, kind) = match (self.form, kind) {
            (Form::Prometheus, Kind::Counter) => (name, "counter"),
            (Form::Prometheus, Kind::Info) | (_, Kind::Gauge) => (name, "gauge"),
            (_, Kind::Histogram) => (name, "histogram"),
            (Form::OpenMetrics, Kind::Info) => (name.strip_suffix("_info").unwrap_or(name), "info"),
            (Form::OpenMetrics, Kind::Counter) => match name.strip_suffix("_total") {
                Some(stem) => (stem, "counter"),
                None => (name, "unknown"),
            },
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {}", Escaped(help));
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
    }

    /// Adds a sample.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"{}\"", Escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A family whose samples differ in the value of one label.
    pub(super) fn by_label<L: AsRef<str>, V: Display>(
        &mut self,
        (name, kind, label): (&str, Kind, &str),
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) {
        self.family(name, kind, help);
        for (which, value) in samples {
            self.sample(name, &[(label, which.as_ref())], value);
        }
    }

    /// A family of one counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help);
        self.sample(name, &[], value);
    }

    /// A family of one gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], value);
    }
}

/// Text that cannot end a quoted label or a line.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                character => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(form: Form) -> String {
        let mut page = Exposition::new(form);
        page.counter("a_total", "Things.", 3);
        page.counter("b_seconds", "Time.", 1.5);
        page.family("c_info", Kind::Info, "A name.");
        page.sample("c_info", &[("name", "x\"\\\n"), ("other", "y")], 1);
        page.finish()
    }

    #[test]
    fn each_format_declares_counters_in_its_own_way() {
        assert_eq!(
            page(Form::Prometheus),
            "# HELP a_total Things.\n# TYPE a_total counter\na_total 3\n\
             # HELP b_seconds Time.\n# TYPE b_seconds counter\nb_seconds 1.5\n\
             # HELP c_info A name.\n# TYPE c_info gauge\n\
             c_info{name=\"x\\\"\\\\\\n\",other=\"y\"} 1\n"
        );
        assert_eq!(
            page(Form::OpenMetrics),
            "# HELP a Things.\n# TYPE a counter\na_total 3\n\
             # HELP b_seconds Time.\n# TYPE b_seconds unknown\nb_seconds 1.5\n\
             # HELP c A name.\n# TYPE c info\n\
             c_info{name=\"x\\\"\\\\\\n\",other=\"y\"} 1\n# EOF\n"
        );
    }

    #[test]
    fn open_metrics_only_for_those_who_ask() {
        for (accept, form) in [
            ("", Form::Prometheus),
            ("*/*", Form::Prometheus),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Form::Prometheus),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
                Form::OpenMetrics,
            ),
            ("application/openmetrics-text; q=0.2, text/plain; q=0.9", Form::Prometheus),
            ("application/openmetrics-text;q=0", Form::Prometheus),
            ("application/openmetrics-text;q=x", Form::Prometheus),
        ] {
            assert_eq!(Form::accepted(accept), form, "{accept}");
        }
    }
}
