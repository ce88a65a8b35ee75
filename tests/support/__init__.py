"""What the tests share: real trees, real mounts, real engines, generated layer stacks. No mocks."""
