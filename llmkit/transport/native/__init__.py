"""A transport of our own for asyncio and uvloop: `asyncio.Protocol`, and httptools for HTTP/1.1.

It does what a stream of tokens needs and no more: one request at a time on a connection, no HTTP/2, no redirects, no cookies, and an answer
as it comes, compressed or not. What a connection is doing is a state of `llmkit.transport.http1`, which knows no network:

                  ask()            head          end of the body
      IDLE ──────────────► ASKED ────────► BODY ─────────────────► OVER
       │ ▲                   │               │                      │
       │ └───────────────────┼───────────────┼───────── renew() ────┘
       └─────────────────────┴───────────────┴───► GONE
                                  lost, broken, cut, or more was said than asked

An answer that is OVER stays that, whatever becomes of its connection, which then cannot be renewed. Reading is paused while 16 KiB wait to be
taken.

* `connection`: one connection: its bytes go out, and what comes is read.
* `dialling`: how a connection is made: names, addresses, a tunnel through a proxy, TLS.
* `pool`: the connections that are kept, and an exchange over one of them: the seam of `llmkit.transport.base`.
"""
