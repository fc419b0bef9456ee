import CommandLine

await QuorateProgram.main()
