"""What one open page knows and can do: what is typed, shown, picked and remembered. No widget stands here."""
