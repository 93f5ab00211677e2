"""ContactService: the server. Four rooms: domain, storage, rpc and ops."""
