"""Study plans: cells, scales, checks, and the rules for continuing a study with a changed plan."""
