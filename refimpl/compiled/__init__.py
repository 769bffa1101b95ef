"""What kernels stand on: threads, memory, native code and shared arithmetic."""
