import CommandLine
import Conformance
import Quorate

if CommandLine.arguments.dropFirst().first == "check" {
    // Throws when the policy breaks a rule, and says which.
    try ElectionPolicyConformance(PatientElections(PartOptions())).run()
} else {
    // The same program as `quorate`, with one part more: PatientElections up replica-set --election-policy patient
    var parts = PartRegistry.standard
    parts.register(
        .electionPolicy,
        Part("patient", summary: "waits out several timeouts before it stands", options: [PatientElections.timeouts]) {
            try PatientElections($0)
        })
    await QuorateProgram.main(registry: parts)
}
