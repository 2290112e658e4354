module kleidi/test/formats

go 1.24
