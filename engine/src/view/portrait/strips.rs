//! A model as strips, one over the other: a strip a layer, as long as it has parameters.

use std::fmt::Write as _;

use super::super::draw::theme;
use super::super::format::whole;
use super::super::markup::{escaped, hex, svg};

/// More layers than this are joined where neighbours are alike.
const APART: usize = 12;
/// Strips that are drawn.
const MOST: usize = 40;
/// Width of the longest strip and of the names on its left, in CSS pixels.
const LONG: f64 = 300.0;
const NAMES: f64 = 96.0;
/// Width of the words on the right.
const WORDS: f64 = 260.0;
/// From strip to strip.
const STEP: f64 = 19.0;
/// Letters of the longest strip in plain text.
const LETTERS: f64 = 40.0;

/// The pieces a strip is made of, by their colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece {
    /// Embeddings or head.
    Table,
    /// Attention, with its norm.
    Attention,
    /// MLP, with its norm.
    Mlp,
}

impl Piece {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Attention, "attention"), (Self::Mlp, "MLP"), (Self::Table, "embedding, head")];

    fn ink(self) -> theme::Ink {
        theme::series(match self {
            Self::Attention => 0,
            Self::Mlp => 1,
            Self::Table => 2,
        })
    }

    fn letter(self) -> &'static str {
        match self {
            Self::Attention => "█",
            Self::Mlp => "▒",
            Self::Table => "░",
        }
    }
}

/// One strip: a table of the model, or a layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Strip {
    /// `embedding`, `layer 3`, `layers 0–31`.
    pub name: String,
    /// Its pieces with their parameters, left to right.
    pub pieces: Vec<(Piece, usize)>,
    /// What it is, in words: `8 heads of 12 · 256 channels`.
    pub told: String,
}

impl Strip {
    fn parameters(&self) -> usize {
        self.pieces.iter().map(|p| p.1).sum()
    }
}

/// Joins layers that are alike when there are many, and leaves out what is more than can be seen.
pub(super) fn layers(layers: Vec<(Vec<(Piece, usize)>, String)>) -> Vec<Strip> {
    let join = layers.len() > APART;
    let mut strips: Vec<(usize, usize, Strip)> = Vec::new();
    for (l, (pieces, told)) in layers.into_iter().enumerate() {
        match strips.last_mut() {
            Some((_, to, strip)) if join && strip.pieces == pieces && strip.told == told => *to = l,
            _ => strips.push((l, l, Strip { name: String::new(), pieces, told })),
        }
    }
    let more = strips.len().saturating_sub(MOST);
    strips.truncate(MOST);
    let mut strips: Vec<Strip> = strips
        .into_iter()
        .map(|(from, to, strip)| {
            let one = from == to;
            let name = if one { format!("layer {from}") } else { format!("layers {from}–{to}") };
            let told = if one { strip.told } else { format!("{}, each", strip.told) };
            Strip { name, told, ..strip }
        })
        .collect();
    if more > 0 {
        let told = format!("and {more} more strips of layers");
        strips.push(Strip { name: String::new(), pieces: Vec::new(), told });
    }
    strips
}

/// Draws strips as SVG.
pub(super) fn to_svg(strips: &[Strip]) -> String {
    let most = strips.iter().map(Strip::parameters).max().unwrap_or(0).max(1) as f64;
    let (wide, high) = (NAMES + LONG + 10.0 + WORDS, STEP * (strips.len() + 1) as f64 + 4.0);
    let mut out = svg("the model, part by part", wide, high);
    out.push_str("<g font-size=\"11\" font-family=\"sans-serif\" fill=\"currentColor\">");
    for (i, strip) in strips.iter().enumerate() {
        let y = STEP * i as f64 + 3.0;
        let text = y + 10.0;
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>",
            NAMES - 8.0,
            escaped(&strip.name)
        );
        let mut x = NAMES;
        for &(piece, parameters) in &strip.pieces {
            let long = LONG * parameters as f64 / most;
            let _ = write!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"13\" rx=\"1.5\" \
                 fill=\"{}\"><title>{} parameters</title></rect>",
                (long - 1.0).max(0.5),
                hex(piece.ink()),
                whole(i64::try_from(parameters).unwrap_or(i64::MAX))
            );
            x += long;
        }
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{text}\" fill-opacity=\"0.8\">{}</text>",
            x + 8.0,
            escaped(&strip.told)
        );
    }
    let y = STEP * strips.len() as f64 + 4.0;
    let mut x = NAMES;
    for (piece, name) in Piece::ALL {
        let _ = write!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"9\" height=\"9\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"{}\" fill-opacity=\"0.8\">{name}</text>",
            y + 3.0,
            hex(piece.ink()),
            x + 13.0,
            y + 11.0
        );
        x += 32.0 + 6.0 * name.len() as f64;
    }
    out + "</g></svg>\n"
}

/// Writes strips as letters.
pub(super) fn to_text(strips: &[Strip]) -> String {
    let most = strips.iter().map(Strip::parameters).max().unwrap_or(0).max(1) as f64;
    let names = strips.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for strip in strips {
        let letters: String = strip
            .pieces
            .iter()
            .map(|&(piece, n)| {
                let letters = (LETTERS * n as f64 / most).round().max(1.0);
                // At most LETTERS.
                piece.letter().repeat(letters as usize)
            })
            .collect();
        let _ = writeln!(out, "{:<names$}  {letters}  {}", strip.name, strip.told);
    }
    let key = Piece::ALL.map(|(piece, name)| format!("{} {name}", piece.letter()));
    let _ = writeln!(out, "{:<names$}  {}", "", key.join("  "));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(mlp: usize) -> (Vec<(Piece, usize)>, String) {
        (vec![(Piece::Attention, 100), (Piece::Mlp, mlp)], format!("{mlp} channels"))
    }

    #[test]
    fn a_few_layers_stand_apart_and_many_alike_are_joined() {
        let few = layers(vec![layer(300); 4]);
        assert_eq!(few.len(), 4);
        assert_eq!(few[3].name, "layer 3");
        let mut many = vec![layer(300); 32];
        many[31] = layer(100);
        let many = layers(many);
        assert_eq!(many.len(), 2);
        assert_eq!((many[0].name.as_str(), many[1].name.as_str()), ("layers 0–30", "layer 31"));
        assert_eq!(many[0].told, "300 channels, each");
        let uneven = layers((0..200).map(layer).collect());
        assert_eq!(uneven.len(), MOST + 1);
        assert_eq!(uneven[MOST].told, "and 160 more strips of layers");
    }

    #[test]
    fn strips_are_as_long_as_they_have_parameters() {
        let strips = layers(vec![layer(300), layer(100)]);
        let expected = "\
layer 0  ██████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  300 channels
layer 1  ██████████▒▒▒▒▒▒▒▒▒▒  100 channels
         █ attention  ▒ MLP  ░ embedding, head
";
        assert_eq!(to_text(&strips), expected);
        let svg = to_svg(&strips);
        assert!(svg.contains("width=\"224.0\"") && svg.contains("width=\"74.0\""), "{svg}");
    }

    #[test]
    fn a_layer_without_parts_and_no_layers_at_all_are_drawn() {
        let strips = layers(vec![(Vec::new(), "nothing left".into())]);
        assert!(to_text(&strips).contains("nothing left"));
        assert!(to_svg(&[]).ends_with("</svg>\n"));
    }
}
