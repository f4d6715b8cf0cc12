"""The documentation site: `make docs` builds it out of these pages, the docstrings and the command line, offline."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "src")]

from tubelet.version import __version__

project, author, copyright = "tubelet", "The tubelet developers", "The tubelet developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "_site"]
exclude_patterns = ["_site", "api", "pictures"]
suppress_warnings = ["config.cache"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
highlight_language = "text"

nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", "(?s).*"),  # the default role, see below: code where it is no public name
    ("py:class", r"(?!tubelet\.).*"),  # types of other libraries: nothing is looked up on a network
    ("py:(exc|func|meth|attr|data|mod)", r"(?!tubelet\.).*"),
    (
        "py:class",
        r"tubelet\.(\w+\.\w+|provenance)\.\w+",
    ),  # types that are not public; others were found
]
smartquotes = False  # --resume stays what it is
default_role = "py:obj"
add_module_names = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 90
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has them; shapes like "*V" would be read as markup
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = f"tubelet {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_search_summary = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "start": [], "concepts": []}
html_context = {"default_mode": "auto"}
