"""Draws text from standard input as a terminal window: terminal_svg.py TITLE < text > picture.svg"""
import sys
from xml.sax.saxutils import escape

SIZE, LINE, PAD, BAR = 13, 18, 16, 30
lines = [line.rstrip("\n") for line in sys.stdin]
width, height = max(map(len, lines)) * SIZE * 0.602 + 2 * PAD, len(lines) * LINE + 2 * PAD + BAR
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" font-size="{SIZE}" '
      'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">')
print('<rect width="100%" height="100%" rx="8" fill="#1b1f27"/>')
for i, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
    print(f'<circle cx="{18 + 18 * i}" cy="{BAR / 2 + 2}" r="5.5" fill="{colour}"/>')
print(f'<text x="50%" y="{BAR / 2 + 6}" text-anchor="middle" fill="#8b93a1">{escape(sys.argv[1])}</text>')
for i, line in enumerate(lines):
    colour = "#7fd1b9" if line.startswith("---") else "#f3d27a" if line.endswith("best") else "#d7dce4"
    print(f'<text x="{PAD}" y="{BAR + PAD + (i + 0.7) * LINE:.1f}" fill="{colour}" xml:space="preserve">{escape(line)}</text>')
print("</svg>")
