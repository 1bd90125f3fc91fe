"""The providers' dialects: reading their requests, writing their answers and errors."""
