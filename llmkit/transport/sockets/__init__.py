"""The transport of our own for threads: blocking sockets, and httptools for HTTP/1.1, as `llmkit.transport.native` has it for event loops.

Under gevent its sockets wait as all others of the app do.

* `connection`: one connection: its bytes go out, and what comes is read.
* `dialling`: how a connection is made: addresses, a tunnel through a proxy, TLS.
* `pool`: the connections that are kept, and an exchange over one of them: the seam of `llmkit.transport.base`.
"""
