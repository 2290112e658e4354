// Marks the root of the module; the builds take their versions from ../lines.
module kleidi/test/kube/client

go 1.22
