-- Set what is reserved in a scope of a book that a rebuild holds; 0 if it is held by another.
-- KEYS: the tenant's mark, the scope's hash. ARGV: the name of the rebuild, reserved, open calls.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], 'r', ARGV[2], 'c', ARGV[3])
return 1
