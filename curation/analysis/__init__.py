"""What behaviours say of a class: sequences of students over time, indicators, groups, and pictures of them."""
