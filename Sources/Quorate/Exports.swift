// One import is enough to use a replica set: documents, the client's results and errors, and policies come along.
@_exported public import BSON
@_exported public import Client
@_exported public import Core
