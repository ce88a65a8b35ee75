"""Why a path of an image is as it is: the search for it, its verdict, and its history."""
