//! Draws lines as SVG.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 50.0;

/// Distinct for color-blind readers (Okabe and Ito).
const COLORS: [&str; 4] = ["#d55e00", "#e69f00", "#0072b2", "#009e73"];

/// A name, and points of a demand (1 is the sum of the quotas) and a percentage.
type Line = (&'static str, Vec<(f64, f64)>);

/// Returns the plot of up to four lines.
pub fn draw(lines: &[Line]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let y = y(percent);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.0}H{:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{percent} %</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for (load, _) in lines.first().map_or(&[][..], |(_, points)| points) {
        text(
            &mut svg,
            x(*load),
            HEIGHT - BOTTOM + 18.0,
            "middle",
            &format!("{load}"),
        );
    }
    let middle = x(1.25);
    text(
        &mut svg,
        middle,
        HEIGHT - 12.0,
        "middle",
        "demand, relative to all quotas",
    );
    text(&mut svg, LEFT, TOP - 6.0, "start", "answered calls");
    for (nth, ((name, points), color)) in lines.iter().zip(COLORS).enumerate() {
        let points: Vec<_> = points
            .iter()
            .map(|(load, percent)| format!("{:.1},{:.1}", x(*load), y(*percent)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        let row = TOP + 20.0 + 20.0 * nth as f64;
        let left = WIDTH - RIGHT + 14.0;
        let _ = writeln!(
            svg,
            "<path d=\"M{left:.0} {:.0}h18\" stroke=\"{color}\" stroke-width=\"2\"/>",
            row - 4.0
        );
        text(&mut svg, left + 24.0, row, "start", name);
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

/// Demands from 0.5 to 2.
fn x(load: f64) -> f64 {
    LEFT + (load - 0.5) / 1.5 * (WIDTH - LEFT - RIGHT)
}

fn y(percent: f64) -> f64 {
    TOP + (100.0 - percent) / 100.0 * (HEIGHT - TOP - BOTTOM)
}
