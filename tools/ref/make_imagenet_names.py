"""Writes the table of src/zoo/imagenet_names.c to standard output, from torchvision's own list."""
from torchvision.models._meta import _IMAGENET_CATEGORIES

line = "   "
for name in _IMAGENET_CATEGORIES:
    item = ' "%s",' % name.replace("\\", "\\\\").replace('"', '\\"')
    if len(line) + len(item) > 118:
        print(line)
        line = "   "
    line += item
print(line)
