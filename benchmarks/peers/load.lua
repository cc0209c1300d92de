-- For wrk: posts the lines of a file in turns, and prints what came of it as one line of JSON.
local requests, next = {}, 0

function init(args)
   for line in io.lines(args[1]) do
      local headers = { ["Content-Type"] = "application/json" }
      requests[#requests + 1] = wrk.format("POST", nil, headers, line)
   end
end

function request()
   next = next % #requests + 1
   return requests[next]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "refused": %d, "broken": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
      summary.requests, summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
