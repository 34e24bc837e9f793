//! Ratios as a picture in SVG: a bar from 1 to each ratio, and a line from the smallest value to the largest.
//!
//! Both directions have the same scale: half is as far from 1 as double. Better ratios are green and worse
//! ones red. If the spread includes 1 the bar is grey: the run shows no difference. The card has its own
//! background, light or dark by the reader's preference.

use std::fmt::Write as _;

use ringbinder_ring::printable::xml;

use crate::table::Spread;

/// One figure of all rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// Whether a ratio below 1 is better.
    pub(crate) less: bool,
}

/// One row, such as a load, with a ratio for each panel.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) ratios: Vec<Option<Spread>>,
}

const LINE: f64 = 22.0;
const TOP: f64 = 100.0;
const LEFT: f64 = 24.0;
const PANEL: f64 = 230.0;
const GAP: f64 = 44.0;

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif}
.card{fill:#ffffff;stroke:#d5dae1}.text{fill:#1b222c}.soft{fill:#5a6574}.rule{stroke:#d5dae1}
.one{stroke:#5a6574;stroke-width:1.5}.spread{stroke:#1b222c;stroke-width:1.2}
.better{fill:#4c9f62}.worse{fill:#cf5a4e}.same{fill:#9aa4b1}
@media(prefers-color-scheme:dark){.card{fill:#14181f;stroke:#323a46}.text{fill:#e8ecf2}
.soft{fill:#a3adba}.rule{stroke:#323a46}.one{stroke:#a3adba}.spread{stroke:#e8ecf2}}
";

/// Draws the rows below each other and the panels side by side.
pub(crate) fn bars(title: &str, note: &str, panels: &[Panel], rows: &[Row]) -> String {
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let names = 16.0 + 7.2 * longest as f64;
    let width = LEFT * 2.0 + names + (PANEL + GAP) * panels.len() as f64;
    let height = TOP + LINE * rows.len() as f64 + 44.0;
    let scale = Scale::of(rows);
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width:.0}\" \
         height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n\
         <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"12\"/>\n\
         <text class=\"text\" x=\"{LEFT}\" y=\"36\" font-size=\"18\" font-weight=\"600\">{title}\
         </text>\n<text class=\"soft\" x=\"{LEFT}\" y=\"58\" font-size=\"12\">{note}</text>\n",
        width - 1.0,
        height - 1.0,
        title = xml(title),
        note = xml(note),
    );
    for (row, number) in rows.iter().zip(0u16..) {
        let y = TOP + LINE * (f64::from(number) + 0.5) + 4.0;
        let _ = writeln!(
            svg,
            "<text class=\"text\" x=\"{LEFT}\" y=\"{y:.1}\" font-size=\"12\">{}</text>",
            xml(&row.name)
        );
    }
    for (at, panel) in panels.iter().enumerate() {
        let x = LEFT + names + (PANEL + GAP) * at as f64;
        let ratios: Vec<Option<Spread>> =
            rows.iter().map(|row| row.ratios.get(at).copied().flatten()).collect();
        draw(&mut svg, *panel, x, &scale, &ratios);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: Panel, left: f64, scale: &Scale, ratios: &[Option<Spread>]) {
    let bottom = TOP + LINE * ratios.len() as f64;
    let better = if panel.less { "less is better" } else { "more is better" };
    let _ = writeln!(
        svg,
        "<text class=\"text\" x=\"{left:.1}\" y=\"{:.1}\" font-size=\"12\" font-weight=\"600\">{}\
         <tspan class=\"soft\" font-weight=\"400\" dx=\"5\">({better})</tspan></text>",
        TOP - 10.0,
        xml(panel.title)
    );
    for tick in scale.ticks() {
        let x = left + scale.place(tick);
        let class = if tick == 1.0 { "one" } else { "rule" };
        let _ = writeln!(
            svg,
            "<path class=\"{class}\" d=\"M{x:.1} {TOP}V{bottom:.1}\"/>\n\
             <text class=\"soft\" x=\"{x:.1}\" y=\"{:.1}\" font-size=\"10.5\" \
             text-anchor=\"middle\">{tick}</text>",
            bottom + 16.0
        );
    }
    for (ratio, number) in ratios.iter().zip(0u16..) {
        let Some(Spread { median, least, most }) = *ratio else { continue };
        let y = TOP + LINE * f64::from(number);
        let class = match (least <= 1.0 && most >= 1.0, (median < 1.0) == panel.less) {
            (true, _) => "same",
            (false, true) => "better",
            (false, false) => "worse",
        };
        let (one, end) = (left + scale.place(1.0), left + scale.place(median));
        let (from, to) = (left + scale.place(least), left + scale.place(most));
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\">\
             <title>{}</title></rect>\n\
             <path class=\"spread\" d=\"M{from:.1} {:.1}H{to:.1}\"/>",
            one.min(end),
            y + 5.0,
            (end - one).abs(),
            Spread::ratio(*ratio),
            y + 11.0,
        );
    }
}

/// A logarithmic scale of ratios, to the base 2.
struct Scale {
    /// Its extent to each side of 1.
    powers: f64,
}

impl Scale {
    /// Ratios above 16 are cut off.
    const MOST: f64 = 4.0;

    fn of(rows: &[Row]) -> Self {
        let all = rows.iter().flat_map(|row| &row.ratios).flatten();
        let far = |ratio: f64| if ratio > 0.0 { ratio.log2().abs() } else { Self::MOST };
        let powers = all.map(|it| far(it.least).max(far(it.most))).fold(0.0, f64::max);
        Self { powers: powers.ceil().clamp(1.0, Self::MOST) }
    }

    fn place(&self, ratio: f64) -> f64 {
        let power = if ratio > 0.0 { ratio.log2() } else { -self.powers };
        (power.clamp(-self.powers, self.powers) / self.powers + 1.0) / 2.0 * PANEL
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let most = self.powers;
        (-4i32..=4).map(f64::from).filter(move |power| power.abs() <= most).map(f64::exp2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANELS: [Panel; 2] =
        [Panel { title: "CPU", less: true }, Panel { title: "throughput", less: false }];

    fn picture(ratios: &[[f64; 3]]) -> String {
        let ratio = |&[least, median, most]: &[f64; 3]| Some(Spread { median, least, most });
        let ratios = ratios.iter().map(ratio).collect();
        bars("a < b", "note & note", &PANELS, &[Row { name: "get<1>".to_owned(), ratios }])
    }

    #[test]
    fn every_row_has_a_bar_in_each_panel_and_a_line_at_one() {
        let svg = picture(&[[0.5, 0.6, 0.7], [0.4, 0.5, 0.6]]);
        assert_eq!(svg.matches("<rect class=\"better\"").count(), 1, "{svg}");
        assert_eq!(svg.matches("<rect class=\"worse\"").count(), 1, "{svg}");
        assert_eq!(svg.matches("class=\"one\"").count(), 2);
        assert_eq!(svg.matches("class=\"spread\"").count(), 2);
        assert!(svg.contains(">get&lt;1&gt;</text>") && svg.contains("a &lt; b"), "{svg}");
        assert!(svg.contains("0.60 (0.50–0.70)"));
    }

    #[test]
    fn a_spread_on_both_sides_shows_no_difference() {
        let svg = picture(&[[0.9, 0.95, 1.1]]);
        assert_eq!(svg.matches("<rect class=\"same\"").count(), 1, "{svg}");
    }

    #[test]
    fn nothing_leaves_the_picture() {
        for wild in [[0.0, 0.0, 0.0], [1e-9, 1.0, 1e9], [5.0, 6.0, 7.0]] {
            let svg = picture(&[wild]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert_eq!(svg.matches("<title>").count(), svg.matches("</title>").count());
        }
        let scale = Scale { powers: 2.0 };
        assert_eq!([0.25, 1.0, 4.0, 99.0].map(|it| scale.place(it)), [0.0, 115.0, PANEL, PANEL]);
        assert_eq!(scale.ticks().collect::<Vec<_>>(), [0.25, 0.5, 1.0, 2.0, 4.0]);
        assert!(!bars("", "", &PANELS, &[]).contains("NaN"));
    }
}
