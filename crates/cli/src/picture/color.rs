//! A colour for each node.

/// Degrees between the hues of two successive nodes: the golden angle, which keeps any number of hues far
/// apart.
const STEP: f64 = 137.508;

/// The colour of the node with this index, as `#rrggbb`. No colour is too light or too dark to see on white
/// or black.
pub(super) fn color(place: usize) -> String {
    let hue = (212.0 + STEP * place as f64) % 360.0;
    let lightness = [0.50, 0.42, 0.58][place % 3];
    let chroma = (1.0 - (2.0 * lightness - 1.0_f64).abs()) * 0.64;
    let channel = |shift: f64| {
        let k = ((hue / 60.0 + shift) % 6.0 + 6.0) % 6.0;
        let level = lightness - chroma / 2.0 + chroma * (2.0 - (k - 3.0).abs()).clamp(0.0, 1.0);
        (level * 255.0).round()
    };
    // Red is brightest around hue 0, green around 120, blue around 240.
    let [red, green, blue] = [3.0, 1.0, -1.0].map(channel);
    format!(
        "#{red:02x}{green:02x}{blue:02x}",
        red = byte(red),
        green = byte(green),
        blue = byte(blue)
    )
}

fn byte(level: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 255")]
    let byte = level.clamp(0.0, 255.0) as u8;
    byte
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::color;

    #[test]
    fn fifty_nodes_have_fifty_colors() {
        let colors: HashSet<String> = (0..50).map(color).collect();
        assert_eq!(colors.len(), 50);
        assert!(colors.iter().all(|color| color.len() == 7 && color.starts_with('#')));
    }
}
